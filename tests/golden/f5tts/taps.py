"""Names and records the intermediate tensors of one upstream run, through hooks only.

Used by make_golden.py with upstream.speak. It must not change a value on its way. The names are
those under which the C port's taps appear: chunk[c].step[s].eval[e].<module>.
"""

import torch

import upstream


class Recorder:
    """keep(chunk, step, steps, name) -> bool says which per-step tensors are worth their bytes."""

    def __init__(self, keep):
        self.keep = keep
        self.handles = []

    def attach(self, speaker, run):
        self.taps = run.taps
        self.chunk, self.step, self.eval, self.steps = -1, 0, 0, 0
        self.rows = []
        self.model = speaker.ema_model
        dit, vocos = self.model.transformer, speaker.vocoder
        hook = lambda module, f: self.handles.append(module.register_forward_hook(f))  # noqa: E731

        hook(self.model.mel_spec, lambda m, i, out: self._mel(out))
        hook(dit.text_embed, self._text_embed)
        hook(dit.time_embed, lambda m, i, out: self._put_eval("time_embed", out[0]))
        hook(dit.input_embed, lambda m, i, out: self.rows.append(out))
        for j, block in enumerate(dit.transformer_blocks):
            hook(block, lambda m, i, out, j=j: self._block(j, out))
        hook(dit.norm_out, lambda m, i, out: self._put_eval("norm_out", out))

        hook(vocos.backbone.norm, lambda m, i, out: self._put_chunk("vocos.embed", out.mT))
        for j, block in enumerate(vocos.backbone.convnext):
            hook(block, lambda m, i, out, j=j: self._put_chunk(f"vocos.block[{j}].out", out))
        hook(vocos.head.out, lambda m, i, out: self._put_chunk("vocos.head", out.mT))

        self.sample = self.model.sample
        self.odeint = upstream.cfm.odeint
        self.model.sample = self._sample
        upstream.cfm.odeint = self._odeint

    def detach(self):
        for handle in self.handles:
            handle.remove()
        self.handles = []
        del self.model.sample
        upstream.cfm.odeint = self.odeint

    def _put(self, name, value):
        self.taps[name] = value.detach().clone().contiguous()

    def _put_chunk(self, name, value):
        if self.keep(self.chunk, None, None, name):
            self._put(f"chunk[{self.chunk}].{name}", value)

    def _put_eval(self, name, value):
        if self.keep(self.chunk, self.step, self.steps, name):
            self._put(f"chunk[{self.chunk}].step[{self.step}].eval[{self.eval}].{name}", value)

    def _mel(self, out):
        # The same for every chunk.
        if self.chunk == 0 and self.keep(0, None, None, "mel"):
            self._put("mel", out[0].T)

    def _text_embed(self, module, inputs, out):
        # Once for each branch and chunk; the conditioned branch comes first.
        cond = f"chunk[{self.chunk}].text_embed.cond"
        self._put_chunk("text_embed.uncond" if cond in self.taps else "text_embed.cond", out)

    def _block(self, j, out):
        if j == 0:
            self._put_eval("input_embed", torch.cat(self.rows))
            self.rows = []
        self._put_eval(f"block[{j}].out", out)

    def _sample(self, *args, **kwargs):
        self.chunk += 1
        tokens = upstream.cfm.list_str_to_idx(kwargs["text"], self.model.vocab_char_map)
        self._put(f"chunk[{self.chunk}].tokens", tokens[0])
        out, trajectory = self.sample(*args, **kwargs)
        self._put_chunk("sampled", out)
        return out, trajectory

    def _odeint(self, function, y0, grid, method):
        # Euler evaluates once an interval, the midpoint rule twice.
        self.steps, evals, calls = len(grid) - 1, {"euler": 1, "midpoint": 2}[method], 0
        self._put_chunk("noise", y0[0])
        self._put_chunk("grid", grid)

        def recorded(t, x):
            nonlocal calls
            self.step, self.eval = divmod(calls, evals)
            calls += 1
            velocity = function(t, x)
            self._put_eval("velocity", velocity)
            return velocity

        trajectory = self.odeint(recorded, y0, grid, method=method)
        for step, state in enumerate(trajectory[1:]):
            if self.keep(self.chunk, step, self.steps, "state"):
                self._put(f"chunk[{self.chunk}].step[{step}].state", state)
        return trajectory
