// Reads a picture: faces found, cut out, classified, decided; as src/mien/analyzer.py does.

import * as ort from "onnxruntime-web/wasm";
import { EMOTIONS, type Emotion } from "../../src/emotions";
import type { Face, Shares } from "../../src/records";
import { detect } from "./detect";
import { crop, type Point } from "./geometry";
import { faceLooker, type Shape } from "./parts";
import type { Picture } from "./resample";
import { looker } from "./yunet";

interface Card {
  size: number;
  template: Point[];
  temperature: number;
  uncertain: number | null;
  policies: { accurate: { offsets: number[]; set_from: number | null } };
}

export type Reader = (picture: Picture) => Promise<Face[]>;

/** Fetch the networks from beside the page and make a reader of them. */
export async function loadReader(base: string): Promise<Reader> {
  const file = async (name: string) => {
    const response = await fetch(new URL(name, base));
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return response;
  };
  ort.env.wasm.numThreads = 1; // more need headers (COOP, COEP) that a plain web server does not send
  const open = async (name: string) => ort.InferenceSession.create(await (await file(name)).arrayBuffer(), { logSeverityLevel: 3 });
  const network = await open("network.onnx");
  const card = (await (await file("card.json")).json()) as Card;
  const look = looker(await open("detector.onnx"));
  const lookAtFaces = faceLooker(await open("face.onnx"), (await (await file("face.json")).json()) as Shape);
  return async (picture) => {
    const finds = await detect(picture, look, lookAtFaces);
    const read = await classify(network, card, finds.map((find) => crop(picture, find.landmarks, card.template, card.size)));
    return finds.map((find, i) => ({ face: i, ...find, ...decide(read[i] as number[], find.quality, card) }));
  };
}

/** (N, 8) probabilities of gray crops. */
async function classify(network: ort.InferenceSession, card: Card, crops: readonly Picture[]): Promise<number[][]> {
  if (!crops.length) return [];
  const batch = Float32Array.from(crops.flatMap((one) => [...one.data]));
  const name = network.inputNames[0] as string;
  const outputs = await network.run({ [name]: new ort.Tensor("float32", batch, [crops.length, 1, card.size, card.size]) });
  const logits = outputs[network.outputNames[0] as string]?.data as Float32Array;
  return crops.map((_, i) => softmax([...logits.slice(8 * i, 8 * i + 8)].map((v) => v / card.temperature)));
}

function softmax(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const raised = logits.map((v) => Math.exp(v - top));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((v) => v / sum);
}

/** What is shown, what it may be, and whether to trust it: src/mien/faces/policy.py. */
function decide(probabilities: number[], quality: number, card: Card): Pick<Face, "emotion" | "confidence" | "probabilities" | "set" | "uncertain"> {
  const { offsets, set_from: from } = card.policies.accurate;
  const weighed = probabilities.map((p, k) => p * Math.exp(offsets[k] ?? 0));
  const sum = weighed.reduce((a, b) => a + b, 0);
  const shown = weighed.indexOf(Math.max(...weighed));
  const confidence = probabilities[shown] as number;
  const order = [...probabilities.keys()].sort((a, b) => (probabilities[b] as number) - (probabilities[a] as number));
  const member = (k: number) => k === shown || (weighed[k] as number) / sum >= (from as number);
  return {
    emotion: EMOTIONS[shown] as Emotion,
    confidence,
    probabilities: Object.fromEntries(EMOTIONS.map((emotion, k) => [emotion, probabilities[k]])) as Shares,
    set: from === null ? null : order.filter(member).map((k) => EMOTIONS[k] as Emotion),
    uncertain: card.uncertain === null ? null : confidence * quality < card.uncertain,
  };
}
