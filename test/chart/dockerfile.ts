/** The Dockerfile's instructions, as far as ours goes: no here-documents, no ONBUILD. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
  /** The stage that it is of; '' before the first. */
  readonly stage: string;
}

/** Continued lines are one; comments are none. */
export function instructionsOf(text: string): Instruction[] {
  const joined = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replace(/\\\n\s*/g, '');
  let stage = '';
  return joined
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name, rest] = /^([A-Z]+)\s+(.*)$/.exec(line)!;
      if (name === 'FROM') stage = / AS (\S+)$/.exec(rest!)?.[1] ?? rest!;
      return {name: name!, text: rest!, stage};
    });
}

/** Sources of a COPY from the context; empty where it is from another stage. */
export function sourcesOf({name, text}: Instruction): string[] {
  if (name !== 'COPY' || text.startsWith('--from=')) return [];
  return text.split(/\s+/).slice(0, -1);
}
