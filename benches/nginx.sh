#!/usr/bin/env bash
# Becomes a plain nginx that passes 127.0.0.1:PORT on to UPSTREAM, for the comparison of the
# benchmark. Everything it writes is in FOLDER; the system's own nginx is neither read nor touched.
# Installs nginx with apt-get if it is not there.
#
#   benches/nginx.sh UPSTREAM_HOST:PORT PORT FOLDER
set -euo pipefail
[ $# -eq 3 ] || { sed -n 's/^#   /usage: /p' "$0" >&2; exit 2; }
upstream=$1 port=$2 folder=$(realpath "$3")

# Debian keeps it where only root's PATH looks.
PATH=$PATH:/usr/sbin:/sbin
if ! command -v nginx >/dev/null; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "nginx is not installed and cannot be installed here; install it and try again" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  install() { apt-get install -y --no-install-recommends nginx-light >"$folder/apt.log" 2>&1; }
  install || { apt-get update >/dev/null 2>&1 && install; } ||
    { echo "apt-get cannot install nginx-light: $(tail -n 1 "$folder/apt.log")" >&2; exit 1; }
fi

# As root nginx would give its workers to another user, who may not enter FOLDER.
user=
if [ "$(id -u)" -eq 0 ]; then user="user root;"; fi

# proxy_pass with nginx's own defaults, but for connections to upstream that are kept open: the
# gateway keeps its own open too.
cat >"$folder/nginx.conf" <<CONF
daemon off;
$user
worker_processes auto;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  upstream openrouter { server $upstream; keepalive 64; }
  server {
    listen 127.0.0.1:$port;
    location / {
      proxy_pass http://openrouter;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
CONF
exec nginx -p "$folder" -e "$folder/error.log" -c "$folder/nginx.conf"
