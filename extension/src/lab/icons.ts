/** Icons in the theme's colours: a branch that leaves a timeline. */
import { LabIcon } from '@jupyterlab/ui-components';

const drawn = (theme: string, colour: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g fill="none" stroke-width="2.4" stroke-linecap="round">
    <path class="${theme}" stroke="${colour}" d="M3 17H21M8.5 17C14 17 13 7 18 7"/>
  </g>
  <circle class="${theme}" fill="${colour}" cx="8" cy="17" r="3.4"/>
  <circle class="${theme}" fill="${colour}" cx="19" cy="7" r="2.6"/>
</svg>`;

export const branchIcon = new LabIcon({
  name: 'branchpoint:branch',
  svgstr: drawn('jp-icon3 jp-icon-selectable', '#616161')
});

export const recordingIcon = new LabIcon({
  name: 'branchpoint:recording',
  svgstr: drawn('jp-icon-warn0 jp-icon-selectable', '#f57c00')
});
