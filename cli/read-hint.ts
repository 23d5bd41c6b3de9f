/** The command that shows what an object holds, by where it lies and how it is compressed. */
export function readHint(place: string): string {
  const unpack = place.endsWith('.gz') ? 'gzip -dc' : place.endsWith('.zst') ? 'zstd -dc' : undefined
  if (place.startsWith('s3://')) {
    const fetched = `aws s3 cp ${quoted(place)} -`
    return unpack === undefined ? `${fetched} | head` : `${fetched} | ${unpack} | head`
  }
  const path = quoted(place.replace(/^file:\/\//, ''))
  return unpack === undefined ? `head ${path}` : `${unpack} ${path} | head`
}

/** As a shell takes it: `year=2026/…` needs nothing, anything unusual is quoted. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`
}
