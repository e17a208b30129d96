/**
 * Holds the guard (ruleset-guard.ts): one `nft -i` for as long as we live, since a table belongs to the netlink socket
 * that made it. Where the kernel or nft is too old for that (Linux 5.12, nftables 1.0), there is no guard, and it is said.
 */
import type {Commands} from './commands.ts';
import type {Capture} from './config.ts';
import {GUARD_COUNTER, GUARD_INET, guardChanges, guardRules} from './ruleset-guard.ts';

export interface Guard {
  /** Follows the first table. Resolves when the guard holds what `capture` says; false: there is none. */
  follow(capture: Capture): Promise<boolean>;
  close(): void;
}

/** What nft answers to the question that ends each transaction, whether that worked or not. */
const ANSWER = new RegExp(`counter ${GUARD_COUNTER} \\{[^}]*\\}|Error: .*`);
/** Both outputs in one pipe: an error is read before the answer that follows it. */
const INTERACTIVE_NFT = ['sh', '-c', 'exec nft -i 2>&1'] as const;
/** As for every other run of nft. */
const ANSWER_TIMEOUT_MS = 20_000;

/** `onLost`: nft has ended by itself and took the guard with it; the next follow() starts another. */
export function createGuard(commands: Commands, onLost: () => void): Guard {
  let nft: {write(text: string): void; close(): void} | null = null;
  let held: Capture | null = null;
  let said = '';
  let heard: ((answer: string | null) => void) | null = null;

  const listen = (text: string): void => {
    said += text;
    const answer = ANSWER.exec(said)?.[0];
    if (answer !== undefined) heard?.(answer);
  };
  const ended = (): void => {
    const lost = held !== null;
    nft = null;
    held = null;
    heard?.(null);
    if (lost) onLost();
  };
  /** One line is one transaction. Resolves with nft's answer; null: it has ended or keeps quiet. */
  const transact = (statements: readonly string[]): Promise<string | null> =>
    new Promise((resolve) => {
      said = '';
      const timer = setTimeout(() => heard?.(null), ANSWER_TIMEOUT_MS);
      heard = (answer) => {
        clearTimeout(timer);
        heard = null;
        resolve(answer);
      };
      nft ??= commands.follow(INTERACTIVE_NFT, listen, ended);
      nft.write(`${statements.join('; ')}\nlist counter ${GUARD_INET} ${GUARD_COUNTER}\n`);
    });

  return {
    async follow(capture) {
      const same = held !== null && JSON.stringify(held.bridges) === JSON.stringify(capture.bridges);
      const statements = same ? guardChanges(held!, capture) : guardRules(capture);
      if (statements.length === 0) return true;
      let answer = await transact(statements);
      // The whole of it then.
      if (same && answer?.startsWith('Error') === true) answer = await transact(guardRules(capture));
      if (answer?.startsWith('counter') !== true) {
        held = null;
        nft?.close();
        nft = null;
        return false;
      }
      held = capture;
      return true;
    },
    close() {
      held = null;
      nft?.close();
      nft = null;
    },
  };
}
