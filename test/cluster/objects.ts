/** What tests do with a control plane: objects applied, our definitions put in, what is seen of them waited for. */
import {join} from 'node:path';
import {expect} from '@jest/globals';
import {until} from '../waiting.ts';
import type {ControlPlane} from './control-plane.ts';

const CRDS = join(import.meta.dirname, '../../charts/sallyport/crds');

export interface Objects {
  /** Runs kubectl, which has to succeed; what it printed. */
  readonly done: (argv: readonly string[], input?: string) => string;
  readonly apply: (object: object) => string;
  /** Puts our CustomResourceDefinitions in, and waits until they are served. */
  readonly define: () => void;
}

/** `cluster` is asked for each time: it is started in a hook. */
export function objectsOf(cluster: () => ControlPlane): Objects {
  const done = (argv: readonly string[], input?: string): string => {
    const ran = cluster().kubectl(argv, input);
    expect(ran).toMatchObject({status: 0});
    return ran.stdout;
  };
  return {
    done,
    apply: (object) => done(['apply', '-f', '-'], JSON.stringify(object)),
    define() {
      done(['apply', '--server-side', '-f', CRDS]);
      done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
    },
  };
}

/** Waits until what is seen is as expected; else an error with what was seen last. */
export async function soon(look: () => string, expected: string | RegExp): Promise<void> {
  const holds = (now: string): boolean => (typeof expected === 'string' ? now === expected : expected.test(now));
  await until(look, holds, {what: `${String(expected)} of ${look.toString()}`});
}
