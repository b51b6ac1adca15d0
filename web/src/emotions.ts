// The eight emotions, in Mien's order, and one colour each: those of src/mien/output/colours.py.
// tests/test_web.py fails where the two differ.

export const EMOTIONS = [
  "neutral",
  "happiness",
  "surprise",
  "sadness",
  "anger",
  "disgust",
  "fear",
  "contempt",
] as const;

export type Emotion = (typeof EMOTIONS)[number];

export const COLOURS: Record<Emotion, string> = {
  neutral: "#bbbbbb",
  happiness: "#f0e442",
  surprise: "#e69f00",
  sadness: "#0072b2",
  anger: "#d55e00",
  disgust: "#009e73",
  fear: "#cc79a7",
  contempt: "#56b4e9",
};

/** The outline of a face that has no track, and of one whose expression was not read. */
export const PLAIN = "#ffffff";

/** Outlines of the tracks of a clip, told apart by colour-blind people (Paul Tol's "vibrant" and two grays). */
const TRACKS = ["#ee7733", "#33bbee", "#ee3377", "#009988", "#ffffff", "#0077bb", "#cc3311", "#bbbbbb"];

export const trackColour = (track: number | null): string =>
  track === null ? PLAIN : (TRACKS[Math.abs(track - 1) % TRACKS.length] ?? PLAIN);

/** Black or white, whichever reads better on "#rrggbb" (WCAG 2.2, "contrast ratio"). */
export function ink(colour: string): string {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const part = parseInt(colour.slice(i, i + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const level = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (level + 0.05) / 0.05 >= 1.05 / (level + 0.05) ? "#000000" : "#ffffff";
}
