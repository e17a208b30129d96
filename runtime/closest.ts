/** "Did you mean ...?" is the same for a flag as for a policy's field; policy/ may not import runtime/, so its code stands there. */
export {closest} from '../policy/load/closest.ts';
