// How the page talks to the server: one function a need, every failure a `Problem`.

import { signal } from "@preact/signals";
import type { EventRow, Job, Photo, Row, Trouble } from "./records";
import { W } from "./words";

/** Set while the page waits for the token; the dialog calls it. */
export const wanted = signal<{ wrong: boolean; answer: (token: string | null) => void } | null>(null);

const TRIES = 4; // of a request that the server is too busy for
const LONGEST_WAIT = 10; // seconds between two

let asking: Promise<boolean> | null = null;
let sessions = 0; // how often a token was accepted

/** What went wrong, in the words of the server where it has any (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly title: string,
    readonly detail = "",
    readonly status = 0,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  static of(trouble: Trouble | string): Problem {
    return typeof trouble === "string"
      ? new Problem(trouble)
      : new Problem(trouble.title, trouble.detail ?? "", trouble.status ?? 0);
  }

  static from(error: unknown): Problem {
    if (error instanceof Problem) return error;
    return new Problem(W.errors.network, W.errors.networkDetail);
  }
}

async function failure(response: Response): Promise<Problem> {
  try {
    const body = (await response.json()) as Trouble;
    if (typeof body.title === "string") return new Problem(body.title, body.detail ?? "", response.status);
  } catch {
    // no problem+json: the status has to do
  }
  return new Problem(W.errors.unexpected(response.status), response.statusText, response.status);
}

/**
 * Ask for the token, once however many requests wait for it; false: it was not given. The server puts a cookie
 * in its place that scripts cannot read, so that the page keeps no token.
 */
export function ask(): Promise<boolean> {
  asking ??= signIn().finally(() => {
    asking = null;
  });
  return asking;
}

async function signIn(): Promise<boolean> {
  for (let wrong = false; ; wrong = true) {
    const token = await new Promise<string | null>((answer) => {
      wanted.value = { wrong, answer };
    });
    wanted.value = null;
    if (!token) return false;
    let response: Response;
    try {
      response = await fetch("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    } catch (error) {
      throw Problem.from(error);
    }
    if (response.ok) {
      sessions += 1;
      return true;
    }
    if (response.status !== 401) throw await failure(response);
  }
}

/** Send, and send again after a sign-in that was wanted or a wait that a busy server asked for. */
async function persist(send: () => Promise<Response>): Promise<Response> {
  for (let tries = 1; ; ) {
    const before = sessions;
    const response = await send();
    if (response.ok) return response;
    if (response.status === 401 && (sessions !== before || (await ask()))) continue;
    const wait = Number(response.headers.get("Retry-After"));
    if (wait > 0 && tries < TRIES && (response.status === 429 || response.status === 503)) {
      tries += 1;
      await pause(1000 * Math.min(wait, LONGEST_WAIT));
      continue;
    }
    throw await failure(response);
  }
}

const pause = (milliseconds: number) => new Promise((wake) => setTimeout(wake, milliseconds));

export const request = (path: string, init: RequestInit = {}): Promise<Response> =>
  persist(async () => {
    try {
      return await fetch(path, init);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw Problem.from(error);
    }
  });

const json = async <T>(path: string, init?: RequestInit): Promise<T> => (await request(path, init)).json() as Promise<T>;

export async function readPhoto(file: File): Promise<Photo> {
  const form = new FormData();
  form.append("files", file, file.name);
  const answer = await json<{ photos: Photo[] }>("/v1/photos", { method: "POST", body: form });
  const photo = answer.photos[0];
  if (!photo) throw new Problem(W.errors.unexpected(200));
  return photo;
}

/** Photos as one Parquet file, which the server writes: it reads them once more. */
export async function readTable(files: readonly File[]): Promise<Blob> {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  const headers = { Accept: "application/vnd.apache.parquet" };
  return (await request("/v1/photos", { method: "POST", body: form, headers })).blob();
}

export interface ClipOptions {
  annotate: boolean;
  detectEvery: number;
}

/** Send a clip; `onProgress` gets the share that has been sent (fetch does not tell it). */
export async function sendClip(
  file: File,
  options: ClipOptions,
  onProgress: (share: number) => void,
  signal: AbortSignal,
): Promise<Job> {
  const form = new FormData();
  form.append("annotate", String(options.annotate));
  form.append("detect_every", String(options.detectEvery));
  form.append("file", file, file.name);
  return (await persist(() => upload(form, onProgress, signal))).json() as Promise<Job>;
}

function upload(form: FormData, onProgress: (share: number) => void, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", "/v1/clips");
    call.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    call.onload = () => {
      const wait = call.getResponseHeader("Retry-After");
      const headers = wait ? { "Retry-After": wait } : undefined;
      resolve(new Response(call.responseText, { status: call.status, statusText: call.statusText, headers }));
    };
    call.onerror = () => reject(Problem.from(null));
    call.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => call.abort());
    call.send(form);
  });
}

export const listJobs = async (): Promise<Job[]> => (await json<{ jobs: Job[] }>("/v1/jobs")).jobs;

export const getJob = (id: string): Promise<Job> => json<Job>(`/v1/jobs/${encodeURIComponent(id)}`);

export const deleteJob = (id: string): Promise<Response> =>
  request(`/v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });

const over = (job: Job) => job.state === "done" || job.state === "failed" || job.state === "cancelled";

/** Follow a job to its end by server-sent events; where these break off, ask again every second. */
export async function followJob(id: string, onJob: (job: Job) => void, signal: AbortSignal): Promise<Job> {
  let misses = 0;
  while (!signal.aborted) {
    try {
      const response = await request(`/v1/jobs/${encodeURIComponent(id)}/events`, {
        headers: { Accept: "text/event-stream" },
        signal,
      });
      for await (const data of events(response)) {
        const part = JSON.parse(data) as Partial<Job>;
        if (part.state) onJob({ id, ...part } as Job);
        misses = 0;
      }
    } catch (error) {
      if (signal.aborted) break;
      if (error instanceof Problem && error.status === 404) throw error;
      misses += 1;
    }
    try {
      const job = await getJob(id);
      onJob(job);
      if (over(job)) return job;
      misses = 0;
    } catch (error) {
      if (signal.aborted) break;
      misses += 1;
      if (misses > 20 || (error instanceof Problem && error.status > 0)) throw error;
    }
    await pause(1000);
  }
  throw new DOMException("", "AbortError");
}

/** The `data` of each event of a stream. EventSource would do, but it hides the status of a refusal. */
async function* events(response: Response): AsyncGenerator<string> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest = (rest + value).replace(/\r\n?/g, "\n");
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const lines = rest.slice(0, end).split("\n");
      rest = rest.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) yield data.join("\n");
    }
  }
}

export const getRows = async (url: string): Promise<Row[]> => (await json<{ rows: Row[] }>(url)).rows;
export const getEvents = async (url: string): Promise<EventRow[]> => (await json<{ events: EventRow[] }>(url)).events;

export interface About {
  keep: boolean; // whether clips stay until somebody removes them
  forget_after: number | null; // seconds after which they are removed otherwise
  limits: { upload?: number; clip?: number }; // bytes
}

/** What the server says of itself; null until it has. */
export const about = signal<About | null>(null);

export async function learnAbout(): Promise<void> {
  try {
    about.value = await json<About>("/v1/about");
  } catch {
    about.value = null; // the page works without; what is wrong shows at the first photo
  }
}

/** The socket for the camera's pictures. */
export function openLive(): WebSocket {
  const url = new URL("/v1/live", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url);
}
