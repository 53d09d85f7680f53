"""What an equation leaves out, learned together with its parameters as one Gaussian process.

On the noise's linked scale, with the equation linearised at each task's own estimate,

    link(y) = link(f(x; z_t)) + δ(x, c_t) + d_t(x) + e,      z_t = z₀ + b + h(c_t) + u_t.

`kernel` holds the covariances of these parts, `state` what was learned of what tasks share, `conditioning` a task's own
process given its measurements, `estimation` its parameters, `likelihood` the linearised measurements of all tasks,
`objective` what scales are learned by, `condensing` what is kept of all, `method` the method that does it.

Sources: Kennedy and O'Hagan, JRSS B 63 (2001) 425, for the discrepancy; Rasmussen and Williams, Gaussian Processes for
Machine Learning (MIT Press 2006), for the calculus.
"""
