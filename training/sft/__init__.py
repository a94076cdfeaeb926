"""Stage one: fine-tuning with LoRA on the language model, and vision encoder and projector in full."""
