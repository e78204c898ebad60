/** TLS's fatal alert `unrecognized_name`, in a record of its own (RFC 6066, 3; RFC 8446, 6). */
export const NAME_ALERT: Uint8Array = Uint8Array.of(21, 3, 3, 0, 2, 2, 112)
