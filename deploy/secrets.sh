#!/bin/sh
# Writes .env, which docker-compose.yml reads, with random passwords. An .env that is there stays as it is.
set -eu
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo ".env is there already; its passwords stay." >&2
    exit 0
fi

random() {
    od -An -N20 -tx1 /dev/urandom | tr -d ' \n'
}

umask 077
cat >.env.new <<END
# Of docker-compose.yml, made by deploy/secrets.sh. Label Studio takes its three when it starts for the first time.
LABEL_STUDIO_USERNAME=you@example.com
LABEL_STUDIO_PASSWORD=$(random)
LABEL_STUDIO_API_KEY=$(random)
BASIC_AUTH_PASS=$(random)
REDIS_PASSWORD=$(random)

# The model that is served: builtin, vit_b, vit_l or vit_h.
#MODEL=vit_b
END
mv .env.new .env
echo "Wrote .env. Next: docker compose up"
