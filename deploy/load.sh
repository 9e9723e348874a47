#!/bin/sh
# First start of the compose file: schema, the small example province of deploy/province, one account. Does nothing when it has been done.
set -eu
config=$1
[ -f /data/loaded ] && exit 0
archivewatch migrate --config "$config"
archivewatch import units /province/units.csv --config "$config"
archivewatch import people /province/people.csv --config "$config"
archivewatch import rooms /province/rooms.csv --config "$config"
archivewatch import devices /province/devices.csv --config "$config"
archivewatch account add duty --role duty --unit 350000000000 --name 省厅值班员 --config "$config" </run/aw/first-password
touch /data/loaded
