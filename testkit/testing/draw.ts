/** Prints what a property draws, and the message of one that fails. */
import { fc } from '../random.ts';

const drawn: number[] = [];
fc.assert(fc.property(fc.integer(), (value) => void drawn.push(value)));
console.log(drawn.join(' '));
try {
  fc.assert(fc.property(fc.integer(), (value) => value < 100));
} catch (error) {
  console.log((error as Error).message.split('\n')[1]);
}
