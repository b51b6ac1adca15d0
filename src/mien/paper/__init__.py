"""The paper, whole, in its own order.

L. A. Beltrán Prieto and Z. Komínková Oplatková, "Emotion Recognition using AutoEncoders and Convolutional
Neural Networks", MENDEL 24(1), 113-120, 2018, DOI 10.13164/mendel.2018.1.113.

| section of the paper                                | file            |
|-----------------------------------------------------|-----------------|
| 2.2 and 2.3 CNN and autoencoders, with those of 3   | `networks`      |
| 2.4 Radboud Faces Database, and other corpora       | `corpora`       |
| 3 Pretraining without labels                        | `pretrain`      |
| 3 The ways to join the two techniques, as recipes   | `variants`      |
| 3 Fine-tuning with labels; one variant learns       | `training`      |
| 3 Ten folds for each emotion                        | `folds`         |
| 3 Confusion matrices and the six scores             | `scores`        |
| Tables 1-10, ours beside those printed              | `tables`        |
| 3 The experiment, from a corpus to its results      | `reproduce`     |
| Figures 1-3, and plots                              | `figures`       |
| The network as a picture                            | `diagram`       |
| 4 Discussion: the report, action units              | `report`        |
"""
