/** `16/B374D848` as the number of bytes; kept apart from the connector's own, which the tests judge. */
export function lsnOf(text: string): number {
  const [high, low] = text.split('/').map(half => Number.parseInt(half, 16))
  return high! * 2 ** 32 + low!
}
