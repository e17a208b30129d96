import {fromBinary} from '@bufbuild/protobuf';
import {describe, expect, test} from '@jest/globals';
import {decide, isDecision} from '../../policy/index.ts';
import {check} from '../checker.ts';
import {CheckResponseSchema} from '../gen/envoy/service/auth/v3/external_auth_pb.js';
import {envoyBefore, letsThrough, question, SITE, type Question} from '../testing/asking.ts';

const RULES = `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  deny: {status: 418, contentType: text/html, body: <b>no</b>, headers: {x-why: policy}}
  rules:
  - name: web
    to: {hosts: [${SITE}], schemes: [http, https]}
    http: {paths: ["/ok/**"]}
    request: {set: {x-set: s}, add: {x-add: a}, remove: [x-gone]}
    response: {set: {x-rset: s}, add: {x-radd: a}, remove: [x-rgone]}
`;
const envoy = envoyBefore({policy: RULES});

/** key, value, append in Envoy's order of carrying out. */
function requestChanges(asked: Question) {
  const {httpResponse} = envoy.ask({path: '/ok/', ...asked}).response;
  if (httpResponse.case !== 'okResponse') throw new Error('not allowed');
  const {headers, headersToRemove} = httpResponse.value;
  return {headers: headers.map(({header, append}) => [header!.key, header!.value, append]), headersToRemove};
}

describe('an allowed request is changed as Envoy carries it out:', () => {
  test('what is set overwrites; what is added where nothing is, is set; the rest is removed', () => {
    expect(requestChanges({})).toEqual({
      headers: [
        ['x-set', 's', false],
        ['x-add', 'a', false],
      ],
      headersToRemove: ['x-gone'],
    });
  });

  test('what is added where something is, is appended: Envoy drops an append to nothing', () => {
    expect(requestChanges({headers: {'X-Add': 'there'}}).headers).toContainEqual(['x-add', 'a', true]);
    expect(requestChanges({raw: [['x-add', '']]}).headers).toContainEqual(['x-add', 'a', true]);
  });

  test('a response header is overwritten, added or emptied', () => {
    const {httpResponse} = envoy.ask({path: '/ok/'}).response;
    if (httpResponse.case !== 'okResponse') throw new Error('not allowed');
    expect(
      httpResponse.value.responseHeadersToAdd.map(({header, append, appendAction}) => [
        header!.key,
        header!.value,
        append,
        appendAction,
      ]),
    ).toEqual([
      ['x-rgone', '', undefined, 3],
      ['x-rset', 's', false, 0],
      ['x-radd', 'a', undefined, 0],
    ]);
  });

  test('query parameters are never touched: on CONNECT that ends Envoy', () => {
    const {httpResponse} = envoy.ask({path: '/ok/?a=b'}).response;
    expect(httpResponse.value).toMatchObject({queryParametersToSet: [], queryParametersToRemove: []});
  });
});

describe('a denial', () => {
  test('has the status, headers and body of the policy, and the id', () => {
    const answered = envoy.ask({path: '/else'});
    expect(answered.response.status?.code).toBe(7);
    expect(answered.response.httpResponse).toMatchObject({
      case: 'deniedResponse',
      value: {status: {code: 418}, body: '<b>no</b>'},
    });
    const {headers} = answered.response.httpResponse.value as {headers: {header: {key: string; value: string}}[]};
    expect(headers.map(({header}) => [header.key, header.value])).toEqual([
      ['content-type', 'text/html'],
      ['x-why', 'policy'],
      ['x-sallyport-denial', answered.decision.id],
    ]);
  });

  test.each([
    ['of the policy', {path: '/else'}, 7, '7'],
    ['of a malformed path', {path: '/%00'}, 3, '3'],
    ['of a name that no rule has', {host: 'nowhere.test', path: '/ok/'}, 7, '7'],
  ])(
    '%s of a gRPC request has a gRPC status, and the reason for Envoy to make the message of',
    (_, asked, code, status) => {
      const answered = envoy.ask({...asked, method: 'POST', headers: {'content-type': 'application/grpc+proto'}});
      expect(answered.response.status?.code).toBe(code);
      const denied = answered.response.httpResponse.value as {
        body: string;
        headers: {header: {key: string; value: string}}[];
      };
      expect(denied.headers.map(({header}) => [header.key, header.value])).toContainEqual(['grpc-status', status]);
      expect(denied.body).toContain(`${answered.decision.reason}: `);
      expect(denied.body).toContain(answered.decision.id);
    },
  );

  test('of an error answers as one, and is no allow in any failure mode', () => {
    const broken = envoyBefore({
      policy: RULES,
      decide: () => {
        throw new Error('boom');
      },
    });
    const answered = broken.ask({path: '/ok/'});
    expect(letsThrough(answered)).toBe(false);
    expect(answered.response).toMatchObject({
      status: {code: 14},
      httpResponse: {case: 'deniedResponse', value: {status: {code: 503}}},
    });
    expect(broken.notices).toEqual(['extauthz.decide-failed']);
  });

  test('is what is answered where whatever is asked fails on the way', () => {
    const envoy = envoyBefore({policy: RULES});
    const broken = {
      ...envoy.services,
      directory: () => {
        throw new Error('boom');
      },
    };
    let response: Buffer | null = null;
    check(broken, question({path: '/ok/'}), {peer: null, metadata: () => null}, (bytes) => (response = bytes));
    expect(fromBinary(CheckResponseSchema, response!)).toMatchObject({
      status: {code: 14},
      httpResponse: {case: 'deniedResponse', value: {status: {code: 503}}},
    });
    expect(envoy.notices).toEqual(['extauthz.check-failed']);
  });

  test('is what is answered where no answer can be made, and the next one is none of its remains', () => {
    let broken = true;
    const envoy = envoyBefore({
      policy: RULES,
      decide: (policies, request, names) => {
        const decision = decide(policies, request, names);
        return broken && isDecision(decision) ? {...decision, response: null} : decision;
      },
    });
    for (const method of ['GET', 'POST'])
      expect(
        envoy.ask({method, path: '/else', headers: method === 'GET' ? {} : {'content-type': 'application/grpc'}})
          .response,
      ).toMatchObject({
        status: {code: 14},
        httpResponse: {case: 'deniedResponse', value: {status: {code: 503}}},
      });
    expect(envoy.notices).toEqual(['extauthz.answer-failed', 'extauthz.answer-failed']);
    broken = false;
    expect(envoy.ask({path: '/else'}).response).toMatchObject({
      status: {code: 7},
      httpResponse: {value: {body: '<b>no</b>'}},
    });
  });

  test('is what is answered before any policy is there', () => {
    expect(envoyBefore({policy: 'not-loaded'}).ask({}).response).toMatchObject({
      status: {code: 14},
      httpResponse: {case: 'deniedResponse', value: {status: {code: 503}}},
    });
  });
});

describe('the access log of Envoy is told', () => {
  test('by what and why it was allowed', () => {
    const {response, decision} = envoy.ask({path: '/ok/'});
    expect(response.dynamicMetadata).toEqual({
      id: decision.id,
      verdict: 'allow',
      reason: 'RuleAllowed',
      policy: 'default/p',
      rule: 'web',
      wouldDeny: false,
      dial: '203.0.113.9:80',
    });
  });

  test('what would be denied, in Audit', () => {
    const audit = envoyBefore({policy: RULES.replace('podSelector: {}', 'podSelector: {}\n  mode: Audit')});
    expect(audit.ask({path: '/else'}).response).toMatchObject({
      status: {code: 0},
      dynamicMetadata: {verdict: 'allow', reason: 'NoRuleMatched', wouldDeny: true},
    });
  });
});

describe('a rule that leaves through an UpstreamProxy', () => {
  const parents = (rule: string): string => `
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: corp}
spec: {endpoints: [{url: "http://10.1.2.3:3128"}], hosts: []}
---
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  rules:
  - {name: web, to: {hosts: [${SITE}], schemes: [http]}, ${rule}}
`;
  const through = (via: string | null, rule: string) => {
    const extensions = via === null ? {} : {'sallyport-via': via};
    return envoyBefore({policy: parents(rule)}).ask({extensions});
  };
  test.each([
    ['passes where Envoy sends there', 'corp', 'via: corp', 'RuleAllowed'],
    ['passes where Envoy sends where the answer says', '*', 'via: corp', 'RuleAllowed'],
    ['is refused where Envoy says nothing of it: going direct is no way out', null, 'via: corp', 'UpstreamUnreachable'],
    ['is refused where Envoy sends elsewhere', 'other', 'via: corp', 'UpstreamUnreachable'],
    ['is refused where there is no such parent', '*', 'via: gone', 'UpstreamUnreachable'],
    [
      'is refused where it should leave directly and Envoy sends to a parent',
      'corp',
      'via: Direct',
      'UpstreamUnreachable',
    ],
    ['passes directly where Envoy sends where the answer says', '*', 'via: Direct', 'RuleAllowed'],
  ])('%s', (_, via, rule, reason) => {
    const answered = through(via, rule);
    expect(answered.decision.reason).toBe(reason);
    expect(letsThrough(answered)).toBe(reason === 'RuleAllowed');
  });

  test('by the address that was checked is told that address, and not the name', () => {
    const local = envoyBefore({
      policy: parents('via: corp').replace('hosts: []', 'hosts: [], resolve: Local'),
      zone: {[SITE]: ['203.0.113.9']},
    });
    expect(local.ask({extensions: {'sallyport-via': '*'}}).response.dynamicMetadata).toMatchObject({
      sends: 'address',
      connect: '203.0.113.9:80',
    });
  });

  test('is told the name as it was judged, and the port that was', () => {
    const asked = envoyBefore({policy: parents('via: corp')}).ask({
      host: `${SITE.toUpperCase()}.`,
      extensions: {'sallyport-via': '*', 'sallyport-dials': 'answer', 'sallyport-destination': '203.0.113.66:80'},
    });
    expect(asked.response.dynamicMetadata).toMatchObject({sends: 'name', connect: `${SITE}:80`});
  });

  test('is named in the answer', () => {
    expect(through('*', 'via: corp').response.dynamicMetadata).toMatchObject({via: 'corp', connect: `${SITE}:80`});
  });
});

test('texts of any length and any letters come through', () => {
  const body = `${'ж'.repeat(40_000)}\u{1f680}`;
  const long = envoyBefore({
    policy: RULES.replace('<b>no</b>', JSON.stringify(body)),
  });
  for (let i = 0; i < 3; i++)
    expect(long.ask({path: '/else'}).response.httpResponse).toMatchObject({
      case: 'deniedResponse',
      value: {status: {code: 418}, body},
    });
});
