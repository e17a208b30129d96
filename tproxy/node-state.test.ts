import {mkdtempSync, readdirSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {NodeState} from './node-state.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-state-'));
});
afterEach(() => rmSync(dir, {recursive: true, force: true}));
const MEMORY = {latched: ['u1', 'u2'], podCidrs: ['10.244.1.0/24']};

test('what is remembered counts at once, and for the next run too', async () => {
  const state = NodeState.keptIn(join(dir, 'deep', 'er'));
  expect(state.isLatched('u1')).toBe(false);
  const written = state.remember(MEMORY);
  expect(state.isLatched('u1')).toBe(true);
  await written;
  const next = new NodeState(join(dir, 'deep', 'er'));
  expect([next.isLatched('u1'), next.isLatched('u3'), next.memory]).toEqual([true, false, MEMORY]);
});
test('the last of many at once is what stays', async () => {
  const state = new NodeState(dir);
  await Promise.all([state.remember(MEMORY), state.remember({latched: [], podCidrs: []}), state.remember(MEMORY)]);
  expect(new NodeState(dir).memory).toEqual(MEMORY);
});
test('only its owner reads it, and nothing half-written is left', async () => {
  await new NodeState(dir).remember(MEMORY);
  expect(readdirSync(dir)).toEqual(['node.json']);
  expect(statSync(join(dir, 'node.json')).mode & 0o777).toBe(0o600);
});
test('without a folder nothing outlives the process', async () => {
  const state = new NodeState(null);
  await state.remember(MEMORY);
  expect(state.isLatched('u2')).toBe(true);
});
test('one that cannot be written now is tried again with the next', async () => {
  const state = NodeState.keptIn(join(dir, 'state'));
  rmSync(join(dir, 'state'), {recursive: true});
  await expect(state.remember(MEMORY)).rejects.toThrow('ENOENT');
  expect(state.isLatched('u1')).toBe(true);
  const again = NodeState.keptIn(join(dir, 'state'));
  expect(again.isLatched('u1')).toBe(false);
  await state.remember(MEMORY);
  expect(new NodeState(join(dir, 'state')).memory).toEqual(MEMORY);
});
test.each(['', '{', '[]', 'null', '{"latched":[1],"podCidrs":[]}', '{"latched":[]}'])(
  'a damaged one (%s) is no reason to begin as if nobody had been captured',
  (text) => {
    writeFileSync(join(dir, 'node.json'), text);
    expect(() => new NodeState(dir)).toThrow(
      expect.objectContaining({code: 'StateUnreadable', message: expect.stringContaining(dir)}),
    );
  },
);
test('a folder that cannot be made is said at once', () => {
  writeFileSync(join(dir, 'file'), '');
  expect(() => NodeState.keptIn(join(dir, 'file', 'state'))).toThrow(
    expect.objectContaining({code: 'StateUnreadable'}),
  );
});
test('who only looks makes none', () => {
  expect(new NodeState(join(dir, 'nowhere')).memory).toEqual({latched: [], podCidrs: []});
  expect(readdirSync(dir)).toEqual([]);
});
