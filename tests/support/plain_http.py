"""What httpx needs for servers that speak no TLS."""

import ssl

# Each client of httpx, and each call without one, reads the certificates of all authorities, for 20 ms or more.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
