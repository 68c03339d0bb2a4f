#!/usr/bin/env bash
# Makes local stand-ins for the three base images of docker-compose.yml out of Debian packages, for a machine that reaches
# Debian's archive but no image registry. They carry the same tags, so the project's own files are tried unchanged.
# Not for use: Debian 12 brings PostgreSQL 15 and Redis 7.0, and no one patches what is made here.
#
# Needs root, debootstrap and a running Docker engine. The archive: DEBIAN_MIRROR, by default Debian's own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "debian:bookworm-slim"
debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch/root" "$mirror" >"$scratch/log" ||
    { tail -n 5 "$scratch/log"; exit 1; }
# A network that inspects TLS has its own authority; without it pip could not fetch anything inside.
if compgen -G "/usr/local/share/ca-certificates/*.crt" >/dev/null; then
    cp /usr/local/share/ca-certificates/*.crt "$scratch/root/usr/local/share/ca-certificates/"
    chroot "$scratch/root" update-ca-certificates >/dev/null
fi
tar -C "$scratch/root" -c . | docker import \
    --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
    --change 'LABEL stand-in=true' - debian:bookworm-slim >/dev/null

for image in python:3.11-slim-bookworm postgres:17-bookworm redis:7.2-bookworm; do
    echo "$image"
    docker build --quiet --tag "$image" --file "$here/${image%%:*}.Dockerfile" "$here" >/dev/null
done
