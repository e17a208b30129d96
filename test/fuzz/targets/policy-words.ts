/** The policy language's words, and small documents of each kind. */
export const POLICY_WORDS: readonly string[] = [
  'apiVersion: sallyport.dev/v1alpha1\n', 'kind: EgressPolicy\n', 'kind: ClusterEgressPolicy\n', 'kind: UpstreamProxy\n', 'metadata:\n', '  name: p\n', '  namespace: default\n', 'spec:\n', '  mode: Audit\n', '  podSelector: {}\n',
  '  rules:\n', '  - name: r\n', '    action: Allow\n', '    action: Deny\n', '    to:\n', '      hosts: [a.test]\n', '      cidrs: [10.0.0.0/8]\n', '      ports: [443, "80-90"]\n', '      schemes: [https, tcp]\n',
  '    http:\n', '      methods: [GET]\n', '      paths: ["/v1/**"]\n', '      headers: {x: "1"}\n', '      query: {q: null}\n', "    when: request.method == 'GET'\n", '    via: Direct\n', '    request:\n', '      set: {x: y}\n', '      remove: [x]\n', '    response:\n',
  '  defaultAction: Deny\n', '  denyResponse:\n', '    status: 418\n', '    body: no\n', '*', '"*.a.test"', '169.254.169.254/32', '::/0', '[::1]', 'xn--a', '---\n', '\n---\n', '...\n', '- ', ': ', ':', '{', '}', '[', ']', ', ', '"', "'", ' #c\n', '#', '|\n', '>-\n', '&a ', '*a', '!!str ', '<<: ', '? ', '~', 'null', 'true', '0x1f', '1e3', '.inf', '-0', '007', '1_000', '\t', '\r\n', '\\u0041', '\\x41', '\u00a0', '\ufeff', '__proto__', 'constructor', 'toString', '443', '  ', '    ',
]; // prettier-ignore

export const POLICY_TEXTS: readonly string[] = [
  `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: web, namespace: default}
spec:
  podSelector: {matchLabels: {app: web}}
  rules:
  - name: api
    action: Allow
    to: {hosts: [api.a.test, "*.b.test"], ports: [443, "8000-8080"]}
    http:
      methods: [GET, HEAD]
      paths: ["/v1/**"]
      headers: {x-env: "canary*", x-none: null}
      query: {tag: "a*"}
    when: '"x-n" in request.headers && request.headers["x-n"] == "7"'
    request: {set: {x-egress: sallyport}, remove: [cookie]}
  - name: no
    action: Deny
    to: {cidrs: [10.0.0.0/8, "2001:db8::/32"], schemes: [tcp]}
`,
  `apiVersion: sallyport.dev/v1alpha1
kind: ClusterEgressPolicy
metadata:
  name: all
spec:
  mode: Audit
  namespaceSelector:
    matchExpressions:
    - {key: team, operator: In, values: [a, b]}
  rules:
  - name: star
    action: Allow
    to:
      hosts:
      - "*"
    via: corp
`,
  `apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: corp}
spec:
  endpoints: [{url: "http://proxy.corp.test:3128"}]
  hosts: ["*"]
  except: ["*.svc.cluster.local"]
  resolve: Both
`,
];
