widget("losses", () => scoresLab());
widget("plane", () => planeLab());
