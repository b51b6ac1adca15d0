// Uses that are not allowed, or not sound.

import { W } from "./words";

const List = ({ title, items }: { title: string; items: readonly [string, string][] }) => (
  <>
    <h3>{title}</h3>
    <ul class="points">
      {items.map(([head, rest]) => (
        <li key={head}>
          <strong>{head}</strong> {rest}
        </li>
      ))}
    </ul>
  </>
);

export function Uses() {
  return (
    <section aria-labelledby="uses-title">
      <h2 id="uses-title">{W.uses.title}</h2>
      <p>{W.uses.lead}</p>
      <List title={W.uses.notAllowedTitle} items={W.uses.notAllowed} />
      <List title={W.uses.notSoundTitle} items={W.uses.notSound} />
      <List title={W.uses.soundTitle} items={W.uses.sound} />
    </section>
  );
}
