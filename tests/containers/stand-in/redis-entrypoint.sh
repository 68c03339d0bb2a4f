#!/usr/bin/env bash
# As the official image: own the data folder, leave root behind, listen to the other containers.
set -euo pipefail
chown redis:redis /data
exec setpriv --reuid=redis --regid=redis --init-groups "$@" --protected-mode no --bind 0.0.0.0
