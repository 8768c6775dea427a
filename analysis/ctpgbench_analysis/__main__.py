"""python3 -m ctpgbench_analysis"""
import sys

from ctpgbench_analysis.commands import main

if __name__ == "__main__":
    sys.exit(main())
