/** Names that leave the process (DESIGN §7): each once, here. */

/** The API group and version of every document. */
export const API_VERSION = 'sallyport.dev/v1alpha1';

/** Default ports of our listeners. */
export const PORTS = {
  /** Captured connections (TPROXY or REDIRECT). */
  captured: 15080,
  /** Programs that were told: CONNECT and absolute-form. */
  explicit: 15081,
  /** Pod-to-pod mTLS. */
  mtls: 15082,
  /** DNS answers. */
  dns: 15083,
  /** healthz, readyz, metrics. */
  admin: 15084,
} as const;

/** The firewall mark of packets that TPROXY took: they are routed to our listeners. */
export const TPROXY_MARK = 0x5a110000;
/** The bits of the mark that are ours; the others are left as they are. */
export const TPROXY_MARK_MASK = 0xffff0000;
/** The routing table that holds `local default dev lo`. */
export const TPROXY_ROUTE_TABLE = 15080;
