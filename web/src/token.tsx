// The dialog that asks for the server's token, once, when a request was refused for want of it.

import { useEffect, useRef } from "preact/hooks";
import { wanted } from "./api";
import { W } from "./words";

export function TokenDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const asked = wanted.value;
  useEffect(() => {
    if (asked && !dialog.current?.open) dialog.current?.showModal();
    if (!asked) dialog.current?.close();
  }, [asked]);
  const send = (event: Event) => {
    event.preventDefault();
    const given = field.current?.value.trim() ?? "";
    if (field.current) field.current.value = "";
    asked?.answer(given || null);
  };
  return (
    <dialog ref={dialog} class="small" aria-labelledby="token-title" onCancel={() => asked?.answer(null)}>
      <form onSubmit={send}>
        <h2 id="token-title">{W.token.title}</h2>
        {asked?.wrong ? <p class="problem" role="alert">{W.token.wrong}</p> : null}
        <p>{W.token.lead}</p>
        <label class="field">
          {W.token.label}
          <input ref={field} type="password" autocomplete="off" required />
        </label>
        <p class="actions">
          <button type="submit" class="main">
            {W.token.send}
          </button>
          <button type="button" onClick={() => asked?.answer(null)}>
            {W.token.cancel}
          </button>
        </p>
      </form>
    </dialog>
  );
}
