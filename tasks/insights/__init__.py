"""Statements about tables: their form, how they are planted, found and checked.

Used three times: a fact is planted only if it is found in the very table an agent gets; a claim is
read by the form of its type; a claim that matches nothing planted is tested on a fresh sample.
"""
