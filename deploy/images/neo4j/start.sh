# As the official image: NEO4J_AUTH=neo4j/PASSWORD makes the first user, NEO4J_a_b__c=x sets a.b_c=x.
set -eu
umask 077
mkdir -p conf /data/dbms
heap_first=256m heap_max=512m
# What is given comes first: the server takes no name twice.
{
  env | sed -n 's/^NEO4J_\([a-z].*\)$/\1/p' | while IFS='=' read -r name value; do
    printf '%s=%s\n' "$(printf %s "$name" | sed 's/__/#/g; s/_/./g; s/#/_/g')" "$value"
  done
  echo "server.default_listen_address=0.0.0.0"
  echo "server.http.enabled=false"
  echo "server.directories.data=/data"
} | awk -F= '!seen[$1]++' >all.conf
# The heap is the machine's to set, not the server's.
found=$(sed -n 's/^server.memory.heap.initial_size=//p' all.conf); heap_first=${found:-$heap_first}
found=$(sed -n 's/^server.memory.heap.max_size=//p' all.conf); heap_max=${found:-$heap_max}
grep -v '^server.memory.heap' all.conf >conf/neo4j.conf
if [ -n "${NEO4J_AUTH:-}" ] && [ ! -e /data/databases ]; then
  # Hashed once: this is for passwords that were generated. The salt is text, and written as hexadecimal digits.
  hex() { od -An -v -tx1 | tr -d ' \n'; }
  salt=$(head -c 16 /dev/urandom | hex)
  digest=$(printf '%s%s' "$salt" "${NEO4J_AUTH#*/}" | sha256sum | cut -c1-64)
  printf '%s:SHA-256,%s,%s,1:\n' "${NEO4J_AUTH%%/*}" "$digest" "$(printf %s "$salt" | hex)" >/data/dbms/auth.ini
fi
exec java "-Xms$heap_first" "-Xmx$heap_max" --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED \
  --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --enable-native-access=ALL-UNNAMED \
  -cp '/opt/neo4j/lib/*' org.neo4j.server.Neo4jCommunity --home-dir=/var/lib/neo4j --config-dir=/var/lib/neo4j/conf --console-mode
