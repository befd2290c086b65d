// Where the reader is: tab and search, kept in the address after the #, so that a finding can link there and the
// browser's back button works.

export interface Place {
  readonly tab: string;
  readonly search: string;
}

/** Address of a place, to be used as a link. */
export function linkTo(place: Place): string {
  return `#${new URLSearchParams({ tab: place.tab, search: place.search })}`;
}

/** The place in an address; null if it holds none. */
export function placeIn(hash: string): Place | null {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const tab = fields.get("tab");
  return tab === null ? null : { tab, search: fields.get("search") ?? "" };
}
