#!/bin/sh
# Installs from Debian what the tests drive for real, when it is missing and we are root. Starts nothing.
missing=""
command -v nginx > /dev/null || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
command -v chromium > /dev/null || missing="$missing chromium fonts-dejavu-core"
ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || missing="$missing postgresql"
command -v pgbouncer > /dev/null || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
command -v redis-server > /dev/null || command -v valkey-server > /dev/null || missing="$missing redis-server"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "NOT INSTALLED:$missing. The tests that need them will be skipped (apt-get install$missing)." >&2
	exit 0
fi
echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
# The tests make clusters of their own; the one that Debian makes with a new PostgreSQL would be nobody's.
clusters=/etc/postgresql-common/createcluster.d
case $missing in *postgresql*)
	mkdir -p $clusters && echo "create_main_cluster = false" > $clusters/no-main-cluster.conf ;;
esac
apt-get update -qq || true
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing > /dev/null || echo "COULD NOT INSTALL:$missing" >&2
