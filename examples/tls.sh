#!/bin/sh
# HTTPS on this machine, with a certificate to throw away.
#
#     sh examples/tls.sh
#
# Then: curl --cacert "$folder/cert.pem" https://localhost:8000 (the folder is printed). Arguments are handed on, for example
# --bind 0.0.0.0:8443. For a certificate that browsers believe use one of Let's Encrypt: --certfile fullchain.pem
# --keyfile privkey.pem, and kill -HUP the arbiter when it was renewed. For several names: --ssl-sni-dir /etc/letsencrypt/live.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${TLS_FOLDER:-$(mktemp -d)}
openssl req -x509 -newkey rsa:2048 -nodes -days 7 -subj /CN=localhost \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2> "$folder/openssl.log" || { cat "$folder/openssl.log" >&2; exit 1; }
echo "certificate: $folder/cert.pem"
# exec: the arbiter takes the place of the shell, so that signals reach it.
exec asgi-arbiter --app-dir "$here" hello:app --certfile "$folder/cert.pem" --keyfile "$folder/key.pem" "$@"
