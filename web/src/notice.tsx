// What people in front of a camera must be told before it reads them (EU AI Act, article 50 (3)).

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { W } from "./words";

const KEY = "mien-purpose";

/** What for, in the words of whoever runs this; kept in this browser. */
const purpose = signal(localStorage.getItem(KEY) ?? W.notice.purpose);

const OWN = ["localhost", "127.0.0.1", "[::1]"];

/** `own`: the pictures stay on this machine. */
export function Notice({ level = 2, own = OWN.includes(location.hostname) }: { level?: 2 | 3; own?: boolean }) {
  const Title = `h${level}` as "h2";
  const Part = `h${level + 1}` as "h3";
  const part = (title: string, body: ComponentChildren) => (
    <div>
      <Part>{title}</Part>
      <p>{body}</p>
    </div>
  );
  return (
    <div class="notice">
      <Title>{W.notice.title}</Title>
      <div class="parts">
        {part(W.notice.readTitle, W.notice.read)}
        {part(W.notice.purposeTitle, purpose)}
        {part(W.notice.keptTitle, W.notice.kept)}
        {part(W.notice.whereTitle, W.notice.where(location.hostname, own))}
        {part(W.notice.choiceTitle, W.notice.choice)}
      </div>
    </div>
  );
}

export function Purpose() {
  return (
    <label class="field noprint">
      {W.notice.purposeLabel}
      <textarea
        rows={1}
        maxLength={300}
        value={purpose.value}
        onInput={(e) => {
          purpose.value = e.currentTarget.value || W.notice.purpose;
          localStorage.setItem(KEY, purpose.value);
        }}
      />
    </label>
  );
}

export function NoticePage() {
  return (
    <section>
      <p class="soft noprint">{W.notice.lead}</p>
      <Purpose />
      <Notice />
      <p class="actions noprint">
        <button type="button" onClick={() => window.print()}>
          {W.notice.print}
        </button>
      </p>
    </section>
  );
}
