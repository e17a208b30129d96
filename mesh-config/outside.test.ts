import {describe, expect, test} from '@jest/globals';
import {isOutside} from './outside.ts';
import type {ServiceEntry} from './surroundings.ts';

const outside = (spec: ServiceEntry['spec']): boolean =>
  isOutside({kind: 'ServiceEntry', metadata: {name: 'a', namespace: 'b'}, spec: {hosts: ['a.test'], ...spec}});
const at = (...addresses: readonly string[]) => ({endpoints: addresses.map((address) => ({address}))});
const INSIDE = {location: 'MESH_INTERNAL'};

describe('a ServiceEntry', () => {
  test.each<[string, ServiceEntry['spec'], boolean]>([
    ['that says nothing', {resolution: 'STATIC', ...at('10.1.2.3')}, true],
    ['that says so', {location: 'MESH_EXTERNAL', resolution: 'STATIC', ...at('10.1.2.3')}, true],
    ['with machines of the mesh', {...INSIDE, resolution: 'STATIC', ...at('10.1.2.3', 'fd00::a')}, false],
    ['with pods that it selects', {...INSIDE, resolution: 'STATIC', workloadSelector: {}}, false],
    ['with an address that is not private', {...INSIDE, resolution: 'STATIC', ...at('10.1.2.3', '5.6.7.8')}, true],
    ['with a name', {...INSIDE, resolution: 'DNS', ...at('evil.test')}, true],
    ['whose hosts are looked up', {...INSIDE, resolution: 'DNS'}, true],
    ['that goes where the client dialled', {...INSIDE, resolution: 'NONE'}, true],
    [
      'that goes where the client dialled, to private addresses',
      {...INSIDE, resolution: 'NONE', addresses: ['10.0.0.0/8']},
      false,
    ],
    ['that goes there without saying so', {...INSIDE, addresses: ['5.6.7.0/24'], ...at('10.1.2.3')}, true],
    ['that goes anywhere, with pods that it selects', {...INSIDE, workloadSelector: {}}, true],
    ['with a range that is more than private', {...INSIDE, resolution: 'NONE', addresses: ['10.0.0.0/7']}, true],
    ['with every address', {...INSIDE, resolution: 'NONE', addresses: ['10.0.0.0/0']}, true],
    ['that goes where the client dialled, to others', {...INSIDE, resolution: 'NONE', addresses: ['5.6.7.0/24']}, true],
  ])('%s', (_what, spec, leads) => expect(outside(spec)).toBe(leads));
});
