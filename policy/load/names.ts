/** The syntax of names that Kubernetes and HTTP define. */

/** RFC 1123 subdomain, as Kubernetes restricts it: what objects are called. */
export const isSubdomain = (name: string): boolean =>
  name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);

/** RFC 1123 label: what namespaces are called. */
export const isDnsLabel = (name: string): boolean => name.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name);

const isLabelName = (name: string): boolean =>
  name.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name);

/** A label's key: a name, with or without a DNS subdomain and a slash in front. */
export function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  return slash === -1 ? isLabelName(key) : isSubdomain(key.slice(0, slash)) && isLabelName(key.slice(slash + 1));
}

export const isLabelValue = (value: string): boolean => value === '' || isLabelName(value);

/** RFC 9110 §5.6.2: what methods and header names are made of. */
export function isToken(text: string): boolean {
  if (text === '') return false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    const alphanumeric = ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a) || (c >= 0x30 && c <= 0x39);
    if (!alphanumeric && !TOKEN_SIGNS.includes(text[i]!)) return false;
  }
  return true;
}
const TOKEN_SIGNS = "!#$%&'*+-.^_`|~";

/** Printable ASCII, without a slash (it stands between policy and rule) and without spaces at the ends. */
export function isRuleName(name: string): boolean {
  if (name.startsWith(' ') || name.endsWith(' ')) return false;
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i);
    if (c < 0x20 || c > 0x7e || c === 0x2f) return false;
  }
  return true;
}
