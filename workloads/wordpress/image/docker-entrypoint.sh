#!/bin/sh
# The first start on an empty volume copies the application to it.
set -eu
if [ "$1" = apache2-foreground ] && [ ! -e /var/www/html/index.php ]; then
  tar -C /usr/src/wordpress --create --file - . | tar -C /var/www/html --extract --file -
  echo >&2 'WordPress has been copied to /var/www/html'
fi
exec "$@"
