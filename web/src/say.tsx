// What a screen reader is told while something goes on, and the errors that everyone sees.

import { signal } from "@preact/signals";
import { Problem } from "./api";
import { W } from "./words";

const said = signal("");
const troubles = signal<{ id: number; problem: Problem }[]>([]);
let count = 0;

/** Where the keys go on when what had them is gone. */
export const settle = () => document.getElementById("main")?.focus();

/** Tell it politely: after what is being read out now. */
export function say(text: string): void {
  said.value = text;
}

/** Show an error until it is dismissed. */
export function complain(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  const problem = Problem.from(error);
  troubles.value = [...troubles.value.filter((t) => t.problem.message !== problem.message), { id: ++count, problem }];
}

const dismiss = (id: number) => {
  troubles.value = troubles.value.filter((t) => t.id !== id);
  settle();
};

export function Said() {
  return (
    <p class="hidden" role="status" id="said">
      {said}
    </p>
  );
}

export function Troubles() {
  return (
    <div role="alert" class="troubles">
      {troubles.value.map(({ id, problem }) => (
        <div class="trouble" key={id}>
          <ProblemText problem={problem} />
          <button type="button" class="quiet" onClick={() => dismiss(id)}>
            {W.errors.dismiss}
          </button>
        </div>
      ))}
    </div>
  );
}

export function ProblemText({ problem }: { problem: { title: string; detail?: string } }) {
  return (
    <p class="problem">
      <strong>{problem.title}</strong>
      {problem.detail ? <span> {problem.detail}</span> : null}
    </p>
  );
}
