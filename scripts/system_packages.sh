#!/usr/bin/env bash
# Make sure that the system commands a set-up needs are there.
#
#   scripts/system_packages.sh COMMAND:PACKAGE ...
#
# Installs the Debian packages of the commands that are missing when run as root where apt-get is;
# otherwise names them and fails. Does nothing, and needs no network, when every command is found.
set -euo pipefail

missing=()
for pair in "$@"; do
    if [[ $pair != ?*:?* ]]; then
        echo "system_packages: expected COMMAND:PACKAGE, found '$pair'" >&2
        exit 2
    fi
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
((${#missing[@]})) || exit 0

if ((EUID == 0)) && command -v apt-get >/dev/null; then
    echo "system_packages: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    echo "system_packages: missing ${missing[*]}; install them (on Debian: apt-get install ${missing[*]}) and try again" >&2
    exit 1
fi
