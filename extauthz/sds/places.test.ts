import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {Places, type Kind} from './places.ts';

const room = {inspected: 2, refused: 1, none: 1};

describe('places', () => {
  test('the oldest of a kind makes room', () => {
    const places = new Places<{id: string}>(room);
    const [x, y] = [{id: 'x'}, {id: 'y'}];
    expect(places.take(x, 'a', 'inspected')).toBeNull();
    expect(places.take(y, 'a', 'inspected')).toBeNull();
    // Wanted again: the newest now.
    expect(places.take(x, 'a', 'inspected')).toBeNull();
    expect(places.take(x, 'b', 'inspected')).toEqual({owner: y, name: 'a'});
  });

  test('names that are refused push out none that is in use', () => {
    const places = new Places<object>(room);
    const owner = {};
    places.take(owner, 'used', 'inspected');
    places.take(owner, '1.invented', 'refused');
    expect(places.take(owner, '2.invented', 'refused')).toEqual({owner, name: '1.invented'});
    expect(places.taken('inspected')).toBe(1);
  });

  test('a name whose kind changes has one place', () => {
    const places = new Places<object>(room);
    const owner = {};
    places.take(owner, 'a', 'inspected');
    places.take(owner, 'a', 'none');
    expect([places.taken('inspected'), places.taken('none')]).toEqual([0, 1]);
    places.leave(owner, 'a');
    expect(places.taken('none')).toBe(0);
  });

  test('no more are ever taken than there are, and who is evicted had a place', () => {
    const step = fc.record({
      owner: fc.nat(2),
      name: fc.constantFrom('a', 'b', 'c'),
      kind: fc.constantFrom<Kind | 'leave'>('inspected', 'refused', 'none', 'leave'),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const places = new Places<object>(room);
        const owners = [{}, {}, {}];
        const taken = new Set<string>();
        for (const {owner, name, kind} of steps) {
          const key = `${owner} ${name}`;
          if (kind === 'leave') {
            places.leave(owners[owner]!, name);
            taken.delete(key);
          } else {
            const evicted = places.take(owners[owner]!, name, kind);
            taken.add(key);
            if (evicted !== null) expect(taken.delete(`${owners.indexOf(evicted.owner)} ${evicted.name}`)).toBe(true);
          }
          for (const one of ['inspected', 'refused', 'none'] as const)
            expect(places.taken(one)).toBeLessThanOrEqual(room[one]);
          expect(places.taken('inspected') + places.taken('refused') + places.taken('none')).toBe(taken.size);
        }
      }),
    );
  });
});
