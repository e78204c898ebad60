/** A topology to begin with, printed by `edgeproxy wireguard example`. */
export const wireguardExample = `# Who has a tunnel to whom:
#   full-mesh     everybody to everybody
#   hub-spoke     everybody to one POP, which passes packets on
#   hierarchical  the hosts of a region to its POP, and the POPs to each other
topology = "hierarchical"

# The address plan, host N of region R: 10.50.R.N and prefix:R:N::1. POPs are region 0, then sa 1, us 2, eu 3, ap 4.
# Hosts are numbered from 1 as they stand in this file: add new ones at the end, or give each a number.
ipv4 = "10.50.0.0/16"
ipv6 = "fd00:ed9e::/48"          # choose your own 40 bits (RFC 4193); "off" for none
# regions = { sa = 3, eu = 1 }

# preshared_keys = true          # a second, symmetric key for each pair
# port = 51820                   # of endpoints that name none
# mtu = 1420
# keepalive = 25                 # seconds, for hosts behind NAT
# interface = "wg0"

[[pop]]
name = "pop-sa"
region = "sa"
endpoint = "sa.example.com"      # or 203.0.113.1, [2001:db8::1]:51821

[[pop]]
name = "pop-us"
region = "us"
endpoint = "us.example.com"

[[pop]]
name = "pop-eu"
region = "eu"
endpoint = "eu.example.com"
# hub = true                     # where a region has more than one POP; in hub-spoke, the hub

[[backend]]
name = "sa-node-1"
region = "sa"                    # without an endpoint: it is behind NAT, and calls

[[backend]]
name = "us-node-1"
region = "us"
# number = 7                     # 10.50.2.7
# address = "10.50.2.70"         # or any other of the overlay
# routes = ["192.168.7.0/24"]    # networks behind it that the others shall reach

[[backend]]
name = "eu-node-1"
region = "eu"
# private_key_file = "eu.key"    # a key that exists; without one, it is made
# public_key = "..."             # or the private one stays on its host, in /etc/wireguard/private.key

[[backend]]
name = "ap-node-1"
region = "ap"
via = "pop-us"                   # hierarchical: its region has no POP
`
