#!/bin/sh
# Mosquitto on the files that the server makes of its table of gateways (volume "broker-access"): it starts on copies of its own, and reads them
# again within seconds of a change. A gateway speaks for itself only; see docs/reference/broker.md.
set -eu
own=/run/mosquitto
take() {
  umask 077
  # The load simulator (profile "load") stands for many gateways at once; it is no gateway of the table.
  cat /access/passwords /run/aw/fleet >"$own/passwords"
  cat /access/acl /mosquitto/config/fleet.acl >"$own/acl"
}
take
seen=$(cksum /access/passwords /access/acl)
mosquitto -c /access/mosquitto.conf &
broker=$!
trap 'kill -TERM "$broker"' TERM INT
while kill -0 "$broker" 2>/dev/null; do
  sleep 1 &
  wait $! || true
  now=$(cksum /access/passwords /access/acl 2>/dev/null) || continue
  if [ "$now" != "$seen" ]; then
    take
    seen=$now
    kill -HUP "$broker" || true
  fi
done
wait "$broker"
