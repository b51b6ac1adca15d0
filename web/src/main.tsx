import { render } from "preact";
import { learnAbout } from "./api";
import { App } from "./app";
import "./style.css";

render(<App />, document.body);
void learnAbout();
