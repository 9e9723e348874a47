#!/bin/sh
# First start of the compose file: schema, the small example province of deploy/province, one account, the credentials of the two gateways.
# At every start: the broker's configuration, should it be missing.
set -eu
config=$1
if [ ! -f /data/loaded ]; then
archivewatch migrate --config "$config"
archivewatch import units /province/units.csv --config "$config"
archivewatch import people /province/people.csv --config "$config"
archivewatch import rooms /province/rooms.csv --config "$config"
archivewatch import devices /province/devices.csv --config "$config"
archivewatch account add duty --role duty --unit 350000000000 --name 省厅值班员 --config "$config" </run/aw/first-password
touch /data/loaded
fi
archivewatch gateway credentials load /run/aw/gateway-credentials --config "$config"
[ -f /access/mosquitto.conf ] ||
archivewatch broker config mosquitto -o /access --address 0.0.0.0 --folder /run/mosquitto --store /mosquitto/data --config "$config"
