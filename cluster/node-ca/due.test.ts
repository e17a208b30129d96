import {expect, test} from '@jest/globals';
import {certificatePem, makeIntermediate, makeRoot, newKey, parseCaCertificates, publicKeyOf} from '../../pki/index.ts';
import {renewAtMs} from './due.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
const key = newKey();
const root = {key, chain: parseCaCertificates(certificatePem(makeRoot(key, NOW_MS, 3650 * DAY_MS)), 'the root')};

test('at two thirds of its life, which begins when it was made and not when it is valid from; some nodes a tenth earlier', () => {
  const fields = {publicKey: publicKeyOf(newKey().key), purpose: 'node-1', lifeMs: 9 * DAY_MS};
  const [certificate] = makeIntermediate(root, fields, NOW_MS, 'it');
  expect((renewAtMs(certificate!, 0) - NOW_MS) / DAY_MS).toBeCloseTo(6);
  expect((renewAtMs(certificate!, 1) - NOW_MS) / DAY_MS).toBeCloseTo(5.1);
});
