/** Objects as YAML: in the order given, with the reason above each. */
import {Document} from 'yaml';
import type {Generated} from './objects.ts';

const WIDTH = 100;

/** istiod and istioctl read YAML 1.1, in which y, no, on ... are booleans: such texts are quoted. */
const OPTIONS = {compat: 'yaml-1.1', version: '1.2'} as const;

export function yamlOf(generated: readonly Generated[]): string {
  return generated.map((one) => documentOf(one)).join('---\n');
}

function documentOf({why, object}: Generated): string {
  const document = new Document(object, {...OPTIONS, aliasDuplicateObjects: false});
  return `${comment(why)}${document.toString({lineWidth: 0, minContentWidth: 0})}`;
}

function comment(why: string): string {
  const lines: string[] = [];
  let line = '#';
  for (const word of why.split(/\s+/)) {
    if (line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return `${[...lines, line].join('\n')}\n`;
}
