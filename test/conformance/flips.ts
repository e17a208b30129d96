/** The self-test: every expectation of a step turned into one that must fail. A check that passes either way checks nothing. */
import {REASONS} from '../../policy/index.ts';
import type {Expectation} from './format/case.ts';

export interface Flip {
  /** The field that was turned: the name that compare() gives it. */
  readonly field: string;
  readonly expect: Expectation;
}

/** No world has a server of this name, and no header or body holds this text. */
const NO_SUCH = 'flipped.invalid';

const otherText = (text: string): string => `${NO_SUCH} not ${text}`;

/** Every expectation flipped, one at a time. `servers` are the names of the world, to flip one into another. */
export function flips(expect: Expectation, servers: readonly string[]): Flip[] {
  const all: Flip[] = [];
  const turn = (field: string, changed: Partial<Expectation>): void =>
    void all.push({field, expect: {...expect, ...changed}});
  const otherServer = (name: string | null): string => servers.find((one) => one !== name) ?? NO_SUCH;

  for (const field of Object.keys(expect) as (keyof Expectation)[]) {
    switch (field) {
      case 'verdict':
        turn(field, {verdict: expect.verdict === 'allow' ? 'deny' : 'allow'});
        break;
      case 'status':
        turn(field, {status: expect.status === 599 ? 598 : 599});
        break;
      case 'responses':
        turn(field, {responses: [...expect.responses!, 599]});
        if (expect.responses!.length > 0) turn(field, {responses: [599, ...expect.responses!.slice(1)]});
        break;
      case 'refused':
        turn(field, {refused: !expect.refused});
        break;
      case 'closed':
        turn(field, {closed: !expect.closed});
        break;
      case 'headers':
        for (const [name, value] of Object.entries(expect.headers!)) {
          turn(`headers.${name}`, {headers: {...expect.headers, [name]: value === null ? '*' : null}});
          if (value !== null) turn(`headers.${name}`, {headers: {...expect.headers, [name]: otherText(value)}});
        }
        break;
      case 'body':
        turn(field, {body: otherText(expect.body!)});
        break;
      case 'reached':
        turn(field, {reached: otherServer(expect.reached!)});
        if (expect.reached !== null) turn(field, {reached: null});
        break;
      case 'notReached':
        // "Not this one" turned round is "this one": only a sighting can satisfy it.
        all.push({field, expect: {...without(expect, 'notReached'), reached: expect.notReached!}});
        break;
      case 'upstream':
        flipUpstream(expect, turn);
        break;
      case 'proxied':
        turn(field, {proxied: expect.proxied === null ? otherServer(null) : null});
        if (expect.proxied !== null) turn(field, {proxied: otherServer(expect.proxied!)});
        break;
      case 'reason':
        turn(field, {reason: REASONS.find((reason) => reason !== expect.reason)!});
        break;
      case 'rule':
        turn(field, {rule: `${NO_SUCH}/rule`});
        if (expect.rule !== null) turn(field, {rule: null});
        break;
      case 'wouldDeny':
        for (const other of [true, false, 'unknown'] as const)
          if (other !== expect.wouldDeny) turn(field, {wouldDeny: other});
        break;
      case 'loadError':
        turn(field, {loadError: otherText(expect.loadError!)});
        break;
    }
  }
  return all;
}

function without(expect: Expectation, field: keyof Expectation): Expectation {
  return Object.fromEntries(Object.entries(expect).filter(([name]) => name !== field));
}

function flipUpstream(expect: Expectation, turn: (field: string, changed: Partial<Expectation>) => void): void {
  const upstream = expect.upstream!;
  if (upstream.method !== undefined)
    turn('upstream.method', {upstream: {...upstream, method: otherText(upstream.method)}});
  if (upstream.path !== undefined) turn('upstream.path', {upstream: {...upstream, path: otherText(upstream.path)}});
  for (const [name, value] of Object.entries(upstream.headers ?? {})) {
    const others = value === null ? [NO_SUCH] : [null, otherText(String(value))];
    for (const other of others) {
      turn(`upstream.headers.${name}`, {upstream: {...upstream, headers: {...upstream.headers, [name]: other}}});
    }
  }
}
