// Every English string of the page, so that it can be put into another language in one place.
// House rule: a face *shows* an expression. Nothing here says what a person feels.

import type { Emotion } from "./emotions";

const many = (n: number, one: string, more = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

/** A share, rounded: 99.96 % is shown as "100 %". */
export const percent = (share: number, digits = 0): string => `${(100 * share).toFixed(digits)}\u00a0%`;

/** Seconds as a player shows them, to a tenth: 0:04.2, 1:02:05.5. */
export function clock(seconds: number): string {
  const tenths = Math.round(10 * Math.max(0, seconds));
  const minutes = Math.floor(tenths / 600);
  const rest = tenths - 600 * minutes;
  const head = minutes >= 60 ? `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
  return `${head}:${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
}

const duration = (seconds: number): string => {
  if (seconds < 5400) return many(Math.round(seconds / 60), "minute");
  return seconds < 129_600 ? many(Math.round(seconds / 3600), "hour") : many(Math.round(seconds / 86_400), "day");
};

const bytes = (n: number): string => (n < 1e9 ? `${Math.ceil(n / 1e6)} MB` : `${(n / 1e9).toFixed(1)} GB`);

export const or = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;

export const EMOTION_WORDS: Record<Emotion, string> = {
  neutral: "neutral",
  happiness: "happiness",
  surprise: "surprise",
  sadness: "sadness",
  anger: "anger",
  disgust: "disgust",
  fear: "fear",
  contempt: "contempt",
};

/** "12° to the left" */
const side = (degrees: number, positive: string, negative: string) =>
  `${Math.abs(Math.round(degrees))}° ${degrees >= 0 ? positive : negative}`;
/** "mouth smile left" of mouthSmileLeft */
const spaced = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

export const W = {
  name: "Mien",
  tagline: "Reads the expression shown on faces. Everything stays on the machine that runs it.",
  skip: "Skip to the content",
  nav: "Parts of this page",
  tabs: { read: "Read", history: "History", notice: "Notice", uses: "Uses" },
  meaning:
    "Each bar is the network's estimate of how likely it is that the face shows this expression; the eight bars of a face add up to 100\u00a0%. It is the expression shown, not what the person feels.",

  drop: {
    title: "Photos or a clip",
    lead: "Drop photos or a clip here, or paste a photo.",
    choose: "Choose files",
    camera: "Use the camera",
    over: "Drop to read",
    label: "Choose photos or clips to read",
    rejected: (name: string) => `${name}: this is neither a photo nor a clip. Choose another file.`,
    tooLarge: (name: string, size: number, limit: number) =>
      `${name} has ${bytes(size)}; this server takes at most ${bytes(limit)}.`,
    options: "Options for clips",
    annotate: "Also make a copy with the faces drawn on it",
    every: "Look for faces in",
    everyChoices: { 10: "every tenth frame, and follow them between", 1: "every frame, which is slower" },
    pasted: (n: number) => `pasted-${n}`,
    nothing: "No photo or clip was dropped or pasted.",
  },

  face: {
    title: (n: number, words: string) => `Face ${n}: ${words}`,
    short: (n: number) => `Face ${n}`,
    shows: (emotion: string, share: number) => `${emotion} ${percent(share)}`,
    unsure: (emotion: string, share: number) => `unsure, perhaps ${emotion} ${percent(share)}`,
    perhaps: (emotion: string, share: number) => `perhaps ${emotion} ${percent(share)}`,
    unsureTag: "unsure",
    unsureMark: "?",
    unread: "expression not read",
    unsureLine: "Unsure: no expression is clearly the most likely. Do not rely on this reading.",
    set: (words: readonly string[]) => `It may be ${or(words)}.`,
    setHint: "in the prediction set",
    bars: (n: number) => `Expressions shown by face ${n}`,
    pose: (yaw: number, pitch: number, roll: number) =>
      `Head: ${side(yaw, "to the left", "to the right")}, ${side(pitch, "down", "up")}, leaning ${side(roll, "to the right", "to the left")} (in the picture).`,
    moves: (moves: readonly [string, number][]) =>
      `Moves most: ${moves.map(([name, value]) => `${spaced(name)} ${percent(value)}`).join(", ")}.`,
    none: "No face was found.",
    noneNow: "No face here.",
  },

  photos: {
    title: "Photos",
    waiting: "Waiting",
    reading: "Reading",
    failed: "Could not be read",
    unshowable: "Your browser cannot show this kind of picture. Its faces were read anyway.",
    progress: (done: number, all: number) => `${done} of ${many(all, "photo")} read`,
    done: (n: number, faces: number, failed: number) =>
      `${many(n, "photo")} read, ${many(faces, "face")} found.${failed ? ` ${many(failed, "photo")} could not be read.` : ""}`,
    shown: (shown: number, all: number) => (shown === all ? many(all, "photo") : `${shown} of ${many(all, "photo")}`),
    sort: "Sort by",
    sorts: {
      added: "order added",
      name: "name",
      faces: "number of faces",
      unsure: "unsure first",
      by: (emotion: string) => `${emotion}, strongest first`,
    },
    filter: "Show",
    filters: {
      all: "all photos",
      by: (emotion: string) => `with ${emotion} shown`,
      unsure: "with an unsure face",
      none: "without a face",
      failed: "that could not be read",
    },
    empty: "No photo matches.",
    open: ". Show its faces",
    faces: (n: number) => (n ? many(n, "face") : "no face"),
    close: "Close",
    previous: "Previous photo",
    next: "Next photo",
    clear: "Remove all",
    remove: "Remove",
    retry: "Try again",
    alt: (name: string, words: string) => `${name}: ${words}`,
    more: (n: number) => `+${n}`,
    moreButton: (n: number) => `Show ${n} more`,
  },

  save: {
    title: "Save as",
    csv: "CSV",
    json: "JSON",
    parquet: "Parquet",
    making: "Reading the photos again for the Parquet file",
    files: {
      "rows.csv": "Table, CSV",
      "rows.json": "Table, JSON",
      "rows.parquet": "Table, Parquet",
      "events.csv": "Events, CSV",
      "events.json": "Events, JSON",
      "page.html": "Page, HTML",
      "annotated.mp4": "Annotated clip, MP4",
    } as Record<string, string>,
  },

  clip: {
    title: (name: string) => name,
    sending: "Sending",
    states: {
      queued: "Waiting for its turn",
      running: "Reading",
      done: "Read",
      failed: "Could not be read",
      cancelled: "Cancelled",
    },
    progress: (name: string) => `Progress of ${name}`,
    soFar: (frames: number, faces: number | null) =>
      faces === null ? many(frames, "frame") : `${many(frames, "frame")}, ${many(faces, "reading")} of faces`,
    cancel: "Cancel",
    remove: "Remove",
    loading: "Fetching the results",
    summary: (frames: number, tracks: number, events: number) =>
      `${many(frames, "frame")}, ${many(tracks, "face")} followed, ${many(events, "event")}`,
    unplayable: "Your browser cannot play this clip. The timeline below works without it.",
    annotatedInstead: "Your browser cannot play this clip as it is, so here is the annotated copy.",
    noPicture: "The clip itself is not kept; this is the annotated copy.",
    noVideo: "The clip itself is not kept here. The timeline below works without it.",
    player: (name: string) => `Clip ${name}`,
    now: (time: string) => `At ${time}`,
    nowRegion: "Faces at this moment",
    scrub: "Position in the clip",
    timeline: "Timeline",
    timelineHint:
      "A band for each face: its height is the probability of each expression, smoothed over time. Marks below a band are events. Click a band or use the slider to go to that moment.",
    band: (n: number, words: string) => `Face ${n} over time: ${words}. The events below have the numbers.`,
    inSight: (time: string) => `visible for ${time}`,
    mostly: (emotion: string, share: number) => `mostly ${emotion}, ${percent(share)}`,
    events: (n: number) => (n ? many(n, "event") : "no event"),
    eventsTitle: "Events",
    eventsNone: "No expression other than neutral lasted long enough to be an event.",
    eventsHint:
      "A stretch in which an expression shows on a face. “From the start” and “to the end” mean that it may have lasted longer than the face was seen.",
    goTo: (emotion: string, face: number, time: string) => `Go to ${emotion} of face ${face} at ${time}`,
    goThere: "Go to ",
    apex: (share: number, time: string) => `${percent(share)} at ${time}`,
    columns: {
      expression: "Expression",
      face: "Face",
      onset: "From",
      apex: "Apex",
      offset: "To",
      duration: "Seconds",
      peak: "Peak",
      mean: "Mean",
      cut: "Cut",
    },
    cuts: { start: "from the start", end: "to the end", both: "at both ends" },
    moreTracks: (n: number) => `Show ${many(n, "more face")}`,
    moreEvents: (n: number) => `Show ${many(n, "more event")}`,
    noFace: "No face was read in this clip.",
    lost: "The connection to the server was lost. The server goes on reading the clip; connecting again.",
    announce: (name: string, state: string) => `${name}: ${state}`,
  },

  live: {
    title: "Camera",
    start: "Start the camera",
    back: "Not now",
    close: "Close",
    stop: "Stop the camera",
    starting: "Waiting for the camera",
    running: "The camera is on. Its pictures are read for the expression shown and then forgotten.",
    pace: (perSecond: number, delay: number) =>
      `${perSecond.toFixed(0)} pictures per second, ${Math.round(delay)} ms from picture to reading`,
    which: "Camera",
    camera: (n: number) => `Camera ${n}`,
    video: "Picture of the camera",
    lost: "The connection to the server was lost.",
    errors: {
      NotAllowedError: "The camera was not allowed. Allow it for this page in your browser, then try again.",
      NotFoundError: "No camera was found. Plug one in, then try again.",
      NotReadableError: "The camera is in use by another program. Close that, then try again.",
      insecure: "Browsers allow the camera only on pages from this machine or over HTTPS. Open this page in one of these ways.",
      other: "The camera could not be started.",
    } as Record<string, string>,
    retry: "Try again",
    summary: (words: string) => `Now: ${words}`,
  },

  notice: {
    title: "A camera here reads the expression on faces",
    readTitle: "What is read",
    read: "Where faces are in the picture, and which of eight expressions each face shows: neutral, happiness, surprise, sadness, anger, disgust, fear or contempt. Not who you are, and not what you feel. Readings can be wrong; unsure ones are marked.",
    purposeTitle: "What for",
    purpose: "To show the reading on this screen.",
    purposeLabel: "What these readings are for (shown in the notice)",
    keptTitle: "How long it is kept",
    kept: "Not at all. Each picture is read in memory and forgotten at once; no picture and no reading of the camera is stored.",
    whereTitle: "Where",
    where: (host: string, own: boolean) =>
      own ? "On this machine. Nothing is sent anywhere else." : `On ${host}, to which this page sends the pictures.`,
    choiceTitle: "Your choice",
    choice: "If you do not want to be read, stay out of the picture or ask for the camera to be stopped.",
    page: "The notice for people in front of a camera",
    lead: "People whose expression is read must be told so (EU AI Act, article 50 (3)). Show or print this page where they see it before the camera does.",
    print: "Print",
    duty: "People must be told before they are read (EU AI Act, article 50 (3)). Start only when everyone in front of the camera has seen this.",
  },

  uses: {
    title: "Uses that are not allowed or not sound",
    lead: "Mien reads which expression a face shows in a picture. That is less than it may seem. You are responsible for how you use it; this page is a guide, not legal advice.",
    notAllowedTitle: "Not allowed in the European Union",
    notAllowed: [
      ["At work and in hiring.", "Inferring the emotions of employees or applicants is prohibited, except for medical or safety reasons (AI Act, article 5 (1) (f))."],
      ["At school, university or in exams.", "The same article prohibits it for pupils and students, with the same exceptions."],
      ["Without telling the people.", "Those who are read must be told (article 50 (3)), and their data needs a legal ground (GDPR). Other uses of emotion recognition are high-risk and carry duties of their own (article 6 and annex III)."],
    ] as [string, string][],
    notSoundTitle: "Not sound anywhere",
    notSound: [
      ["As a window on inner feeling.", "The same face is made for different reasons, and the same feeling shows differently or not at all (Barrett and others, 2019). A smile that is read as happiness may be courtesy."],
      ["To find lies or intent.", "No expression, and no set of them, tells a lie from the truth."],
      ["To judge health, character or fitness.", "It is not a medical device and was not tested as one."],
      ["To decide about one person.", "Of the faces it was checked with, about one face in six was read as another expression than the one that ten people named most often, one in eight where more than half of them agreed. Contempt was found in one of eight faces, and disgust in two of five. Women are read as happy more often than men. Whether every group is read equally well is not known."],
      ["On faces unlike those it learned from.", "Small children, covered or turned faces, drawings, masks and very small faces are read badly. Where it knows that, it says unsure; it does not always know."],
    ] as [string, string][],
    soundTitle: "What it is for",
    sound: [
      ["Counting and comparing over many pictures", "that people agreed to have read, with the error rates in view."],
      ["Finding places in a clip", "for a person to look at, such as where an expression comes and goes."],
      ["Research on expressions", "whose labels people check, and on how well such networks read them."],
      ["Pictures of yourself,", "to see what a network makes of them."],
    ] as [string, string][],
  },

  history: {
    title: "History",
    lead: "Clips that this server is reading or has read. Photos and the camera are never kept.",
    kept: "They are kept until somebody removes them.",
    forgotten: (seconds: number) =>
      seconds < 90 ? "They are deleted one minute after they were read." : `They are deleted ${duration(seconds)} after they were read.`,
    none: "There are no clips.",
    open: (name: string) => `Open ${name}`,
    remove: (name: string) => `Remove ${name}`,
    cancel: (name: string) => `Cancel ${name}`,
    removed: (name: string) => `${name} was removed.`,
    back: "Back to the history",
    refresh: "Refresh",
    loading: "Loading",
  },

  token: {
    title: "This server asks for a token",
    lead: "Ask the person who started “mien serve --token” for it. This page does not store it.",
    label: "Token",
    wrong: "That token was not accepted.",
    send: "Sign in",
    cancel: "Cancel",
  },

  alone: {
    tagline: "Reads the expression shown on faces in this browser alone. No picture leaves it.",
    lead: "Drop a photo here, or choose one.",
    choose: "Choose a photo",
    loading: "Fetching the networks",
    reading: "Reading",
    took: (faces: number, milliseconds: number) => `${many(faces, "face")} in ${Math.round(milliseconds)} ms`,
    notPicture: (name: string) => `${name}: expected a photo that this browser can show.`,
    unread: "The picture could not be read",
  },

  errors: {
    network: "The server does not answer",
    networkDetail: "Check that “mien serve” is running, then try again.",
    unexpected: (status: number) => `The server answered with status ${status}`,
    dismiss: "Dismiss",
  },

} as const;
