# Two commands on a fresh machine: `make demo` and `make test`. Everything is installed into .venv, by uv where
# it is found and by pip otherwise (`make UV= ...` for pip anyway).
PYTHON ?= python3
VENV ?= .venv
INSTALL = ./install.sh $(VENV) -c constraints.txt

# The vision-language model of `annotate: {backend: server}` on this machine's GPU; see docs/vlm.md.
VLM_MODEL ?= OpenGVLab/InternVL2_5-8B
VLM_HOST ?= 127.0.0.1
VLM_PORT ?= 23333
VLM_VENV ?= .venv-lmdeploy
VLM_OPTIONS ?= --session-len 16384 --vision-max-batch-size 8 --enable-prefix-caching --trust-remote-code

.NOTPARALLEL:
.PHONY: demo test proof lint bench bench-reading clean vlm-server

demo: $(VENV)/.core
	$(VENV)/bin/iqa-spider build configs/demo.yaml

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

proof: $(VENV)/.train
	OMP_NUM_THREADS=1 $(VENV)/bin/iqa-spider proof configs/proof/proof.yaml

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.dev
	@echo "Installing the packages that are compared with into $(VENV)."
	$(INSTALL) --no-deps -r benchmarks/peers.txt
	$(VENV)/bin/python -m benchmarks.pipeline
	$(VENV)/bin/python -m benchmarks.distortions
	$(VENV)/bin/python -m benchmarks.regions
	$(VENV)/bin/python -m benchmarks.dialogues
	$(VENV)/bin/python -m benchmarks.importing
	$(VENV)/bin/python -m benchmarks.grounding

# Reading against peers that want older versions of NumPy and transformers: in an environment of its own.
bench-reading: demo
	$(PYTHON) -m venv .venv-reading
	@echo "Installing the packages that reading is compared with into .venv-reading: some minutes."
	./install.sh .venv-reading -r benchmarks/reading.txt
	.venv-reading/bin/python -m benchmarks.reading builds/demo/latest

vlm-server: $(VLM_VENV)/.lmdeploy
	$(VLM_VENV)/bin/lmdeploy serve api_server $(VLM_MODEL) --backend turbomind \
		--server-name $(VLM_HOST) --server-port $(VLM_PORT) $(VLM_OPTIONS)

clean:
	rm -rf $(VENV) $(VLM_VENV) .venv-reading builds

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Making the virtual environment $(VENV)."
	$(PYTHON) -m venv $(VENV)

# lmdeploy wants older versions of torch and peft than training does: it gets an environment of its own.
$(VLM_VENV)/.lmdeploy:
	$(PYTHON) -m venv $(VLM_VENV)
	@echo "Installing lmdeploy, torch among it, into $(VLM_VENV): several GB, 5 to 20 minutes."
	./install.sh $(VLM_VENV) lmdeploy==0.18.0
	touch $@

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing IQA-Spider and what its core needs into $(VENV): 130 packages, 1 to 5 minutes."
	$(INSTALL) -e .
	touch $@

# The rest in one step, the core included.
$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing IQA-Spider and what training needs into $(VENV):"
	@echo "180 packages, torch among them, up to 6 GB; 2 to 15 minutes."
	$(INSTALL) -e '.[train]'
	touch $(VENV)/.core $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing IQA-Spider and what its tests need into $(VENV):"
	@echo "220 packages, torch among them, up to 6 GB; 2 to 15 minutes."
	$(INSTALL) -e '.[dev]'
	touch $(VENV)/.core $(VENV)/.train $@
