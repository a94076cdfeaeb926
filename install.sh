#!/bin/sh
# install.sh VENV ARGUMENTS...: `pip install ARGUMENTS` into a virtual environment, by uv where it is found.
# UV=/path/to/uv chooses one, an empty UV= means pip.
set -eu
python=$1/bin/python
shift
uv=${UV-$(command -v uv || true)}
if [ -z "$uv" ]; then
    exec "$python" -m pip install --disable-pip-version-check "$@"
fi

# uv reads none of pip's settings. Where it has none of its own it is given pip's, so that both find the same
# packages: an index of CPU builds of torch, a mirror, a folder of wheels, a certificate.
settings=$("$python" -m pip config list)
setting() {
    printf '%s\n' "$settings" | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | head -n 1 | sed 's/\\n/ /g'
}
if [ -z "${UV_DEFAULT_INDEX-}${UV_INDEX-}${UV_INDEX_URL-}${UV_EXTRA_INDEX_URL-}" ]; then
    index=$(setting index-url)
    extra=$(setting extra-index-url)
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
    if [ -n "$extra" ]; then
        export UV_INDEX="$extra" UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY-unsafe-best-match}" # as pip does
    fi
fi
links=$(setting find-links)
if [ -n "$links" ]; then
    export UV_FIND_LINKS="${UV_FIND_LINKS-$(printf '%s' "$links" | tr -s ' ' ,)}"
fi
certificate=$(setting cert)
if [ -n "$certificate" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE-$certificate}"; fi
for file in $(setting constraint); do
    set -- "$@" -c "$file"
done
exec "$uv" pip install --python "$python" "$@"
